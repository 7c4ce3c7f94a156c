"""The customs message gateway: the pipeline, its model, the service and the edge."""
