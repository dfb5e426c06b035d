"""The PostgreSQL driver: many processes on many machines, and tasks sent within the caller's transactions."""
