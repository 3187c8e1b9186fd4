"""What is kept between calls: compiled programs."""

from ._programs import keep_programs as keep_programs
