"""Every path that the user names: found, opened, published."""
