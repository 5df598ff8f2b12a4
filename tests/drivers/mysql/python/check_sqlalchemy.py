"""SQLAlchemy with its default settings over each driver: Core, ORM, reflection, isolation, its own pool."""

import decimal
import threading

from common import DATABASE, HOST, PASSWORD, PORT, TLS, USER, equal
from sqlalchemy import URL, MetaData, String, Table, create_engine, func, inspect, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

TLS_OPTIONS = {"pymysql": {"ssl": {"check_hostname": False}} if TLS else {"ssl_disabled": True},
               "mysqldb": {"ssl_mode": "REQUIRED" if TLS else "DISABLED"},
               "mysqlconnector": {"ssl_disabled": not TLS}}


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    amount: Mapped[decimal.Decimal | None]


def check(driver: str):
    engine = create_engine(URL.create(f"mysql+{driver}", USER, PASSWORD, HOST, PORT, DATABASE),
                           connect_args=TLS_OPTIONS[driver])
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM items"))
    with Session(engine) as session:
        session.add_all([Item(name=f"{driver} {n}", amount=decimal.Decimal(n)) for n in range(300)])
        session.commit()
        equal(session.scalar(select(func.count()).select_from(Item)), 300, f"{driver}: insert many values")
        first = session.scalars(select(Item).order_by(Item.id).limit(1)).one()
        first.amount = decimal.Decimal("12.34")
        session.flush()
        session.rollback()
        equal(session.get(Item, first.id).amount, decimal.Decimal(0), f"{driver}: rollback")
        with session.begin_nested() as savepoint:
            session.add(Item(name="in a savepoint"))
            session.flush()
            savepoint.rollback()
        session.commit()
        session.add(Item(name=f"{driver} 1"))
        try:
            session.commit()
            raise AssertionError("a duplicate was taken")
        except IntegrityError as error:
            equal(error.orig.args[0], 1062, f"{driver}: error")
    table = Table("items", MetaData(), autoload_with=engine)
    equal([column.name for column in table.columns], ["id", "name", "amount"], f"{driver}: reflection")
    equal([unique["name"] for unique in inspect(engine).get_unique_constraints("items")], ["name"],
          f"{driver}: inspection")

    isolation = text("SELECT @@SESSION.transaction_isolation" if not engine.dialect.is_mariadb else "SELECT @@tx_isolation")
    serializable = engine.execution_options(isolation_level="SERIALIZABLE")
    with serializable.connect() as connection:
        equal(connection.scalar(isolation), "SERIALIZABLE", f"{driver}: isolation")
    with engine.connect() as connection:
        equal(connection.scalar(isolation), "REPEATABLE-READ", f"{driver}: isolation of the next")
    with engine.connect().execution_options(stream_results=True) as connection:
        rows = connection.execute(text("SELECT a.id FROM items a, items b WHERE b.id < a.id"))
        equal(sum(1 for _ in rows), 300 * 299 // 2, f"{driver}: streamed rows")

    wrong = []

    def work(number: int):
        try:
            for step in range(10):
                with engine.connect() as connection:
                    if connection.scalar(text("SELECT :a + :b"), {"a": number, "b": step}) != number + step:
                        wrong.append(number)
        except DBAPIError as error:
            wrong.append(error)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(wrong, [], f"{driver}: threads")
    engine.dispose()


for each in TLS_OPTIONS:
    check(each)
