"""A user directory that is synchronised in one big transaction, and the task that needs what it wrote."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from celeriac import Celeriac
from celeriac.contrib.sqlalchemy import Outbox

folder = Path(os.environ.get("OUTBOX_DIR", "."))
app = Celeriac("directory", broker=f"sqlite:///{folder / 'tasks.db'}", backend=f"sqlite:///{folder / 'tasks.db'}")
engine = create_engine(f"sqlite:///{folder / 'directory.db'}", connect_args={"timeout": 30})

outbox = Outbox(app, engine)
Directory = outbox.bind(sessionmaker(engine))
Unbound = sessionmaker(engine)


class Base(DeclarativeBase):
    pass


class TenantSync(Base):
    __tablename__ = "tenant_syncs"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant: Mapped[str]


@app.task
def sync_tenant(sync_id: int) -> str:
    """Synchronise one tenant; raises NoResultFound if nobody wrote down which."""
    with Session(engine) as session:
        return session.get_one(TenantSync, sync_id).tenant
