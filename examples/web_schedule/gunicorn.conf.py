"""What gunicorn is told: four processes, each of which is a scheduler."""

from examples.web_schedule.app import post_fork, worker_exit

__all__ = ["post_fork", "worker_exit"]

wsgi_app = "examples.web_schedule.app:application"
workers = 4
