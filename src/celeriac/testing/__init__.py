"""The public test kit: what tests of Celeriac itself, of other people's drivers, and of applications are made with."""
