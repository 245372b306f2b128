PACKAGE = "pipeline.published"  # where the .sql files of this stage are
