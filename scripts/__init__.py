"""What checks, builds and serves this repository. Nothing here is part of the installed package."""
