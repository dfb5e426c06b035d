"""Results as messages to whoever sent the task: ``rpc://``, over RabbitMQ."""
