"""What the drivers for SQL databases share."""
