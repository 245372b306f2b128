"""The 1:1 sheet: the trainings of a manager's own reports by name, made when it is handed over."""

PACKAGE = "pipeline.read.sheet"
