"""The Kubernetes API: what pods there are on this node, kept current by one list and one watch."""
