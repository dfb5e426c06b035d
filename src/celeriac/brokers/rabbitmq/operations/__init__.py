"""The port's operations on RabbitMQ: paired with a store (:mod:`~celeriac.brokers.rabbitmq.operations.paired`), and
alone (:mod:`~celeriac.brokers.rabbitmq.operations.alone`)."""
