"""A web application whose four processes are its schedulers."""
