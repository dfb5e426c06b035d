"""Playlist cover mosaics: bursts of uploads, thumbnails and mosaics made by a worker."""
