"""What the components that serve models share."""
