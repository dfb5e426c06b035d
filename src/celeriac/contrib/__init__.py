"""What ties Celeriac to other libraries; each needs the extra of its name."""
