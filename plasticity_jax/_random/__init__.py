"""Random numbers: kinds of keys, and what is drawn with them."""

from ._draws import bernoulli as bernoulli
from ._draws import check_fires as check_fires
from ._draws import LAWS as LAWS
from ._draws import MOST as MOST
from ._draws import normal as normal
from ._draws import poisson as poisson
from ._draws import single as single
from ._draws import spike_counts as spike_counts
from ._keys import check_key as check_key
from ._keys import fast_key as fast_key
from ._keys import is_fast as is_fast
from ._keys import key_of as key_of
from ._keys import KINDS as KINDS
from ._keys import undrawn as undrawn
from ._keys import unrolled as unrolled
