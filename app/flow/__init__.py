"""The observed flow as a graph, and how a graph is drawn; knows nothing of requests."""
