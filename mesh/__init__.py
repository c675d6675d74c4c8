"""What every service of the mesh stands on, and nothing of any one of them."""
