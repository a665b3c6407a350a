"""What runs a pipeline: this process, or pools of Ray actors."""
