"""A user's own task: `new-task` writes its YAML, `check-task` renders it and says what to fix."""
