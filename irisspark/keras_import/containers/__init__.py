"""What model files are made of: HDF5, zips and JSON."""
