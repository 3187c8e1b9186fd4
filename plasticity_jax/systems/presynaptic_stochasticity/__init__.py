"""Release probabilities as importance: energy, information, lifelong learning."""

from .config import build as build
from .config import Config as Config
from .config import images_of as images_of
from .config import Source as Source
from .config import source_of as source_of
from .networks import Convolutional as Convolutional
from .networks import CrossEntropy as CrossEntropy
from .networks import Perceptron as Perceptron
from .networks import predict as predict
from .training import learn as learn
from .training import Learned as Learned
