"""Composition roots: what each process of the control plane is made of, and how it starts and ends."""
