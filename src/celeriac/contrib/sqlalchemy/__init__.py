"""An outbox in the application's own database: tasks are sent with the commit of a SQLAlchemy session, or not at all.

    outbox = Outbox(app, engine)
    Session = outbox.bind(sessionmaker(engine))

    with Session.begin() as session:
        session.add(order)
        send_receipt.delay(order.id)  # a row of this transaction

A relay (in every worker, or ``celeriac relay``) brings the rows to the broker.
"""

from celeriac.contrib.sqlalchemy.outbox import Outbox
from celeriac.contrib.sqlalchemy.relay import Batch, Relay
from celeriac.contrib.sqlalchemy.tables import Tables

__all__ = ["Batch", "Outbox", "Relay", "Tables"]
