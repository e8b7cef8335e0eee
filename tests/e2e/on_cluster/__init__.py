"""The agent on a real Kubernetes: image, manifests, kubelet, containerd, and pods of every kind."""
