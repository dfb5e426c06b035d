"""The RabbitMQ driver, for ``amqp://`` URLs."""
