"""From measurements to objects: rounds as they finish, labels, the manifest last."""
