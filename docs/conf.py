"""The site: `python -m sphinx -nW docs docs/_site`."""

import os
import sys
from pathlib import Path

import plasticity_jax


sys.path.insert(0, str(Path(__file__).parent))
os.environ["NO_COLOR"] = "1"  # what commands print in notebooks: its green is too faint

project = "plasticity_jax"
version = release = plasticity_jax.__version__
extensions = ["myst_nb", "sphinx_copybutton", "_extension"]
exclude_patterns = [
    "_site",
    "theory/generated",
    "results/**/*.md",
    "**/.ipynb_checkpoints",
]
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_dmath_double_inline = True
maximum_signature_line_length = 80
nb_execution_mode = "cache"
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
add_module_names = False
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True
highlight_language = "python"
html_math_renderer = "mathml"
html_theme = "furo"
html_static_path = ["site.css", "site.js"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_use_index = False
html_title = "plasticity_jax"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
nitpick_ignore_regex = [("py:.*", r"(?!plasticity_jax).*")]  # names of other libraries
