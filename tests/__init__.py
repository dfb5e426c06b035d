"""The tests of Celeriac; CONTRIBUTING.md says which folder is for what."""
