"""The scheduler: enqueues what schedule entries say when they are due. It knows brokers and entries, and no app.

What it enqueues is made by whoever starts it (:class:`~celeriac.scheduler.service.Desk`), so that an app, a worker and
a web process start the same one.
"""
