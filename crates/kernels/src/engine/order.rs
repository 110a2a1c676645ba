//! An order and what became of it.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Buy,
    Sell,
}

impl Side {
    /// +1 or −1.
    #[inline]
    pub const fn sign(self) -> i64 {
        match self {
            Self::Buy => 1,
            Self::Sell => -1,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Market,
    Limit,
    Stop,
    StopLimit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeInForce {
    /// Until it is cancelled.
    Gtc,
    /// At the open of the next row or not at all.
    Ioc,
    /// Until the UTC day in which it was sent is over.
    Day,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    Filled,
    Cancelled,
    Expired,
    Refused,
}

/// Why an order was refused, cancelled or expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    None,
    /// Its instrument has had no row yet.
    NoPrice,
    /// The size is no whole number of lots.
    Lot,
    /// A price is no whole number of ticks.
    Tick,
    /// The instrument cannot be sold short.
    Short,
    /// More would be held than leverage × equity.
    Leverage,
    /// By `cancel`.
    Asked,
    /// Nothing to fill it at the open that it was for.
    Ioc,
    /// Its day is over.
    Day,
    /// It may only reduce a position, and there is none of the other side.
    ReduceOnly,
}

macro_rules! names {
    ($kind:ty, $($case:ident $name:literal),+) => {
        impl $kind {
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$case => $name),+
                }
            }

            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$case),)+
                    _ => None,
                }
            }
        }
    };
}

names!(Side, Buy "buy", Sell "sell");
names!(Kind, Market "market", Limit "limit", Stop "stop", StopLimit "stop_limit");
names!(TimeInForce, Gtc "gtc", Ioc "ioc", Day "day");
names!(State, Open "open", Filled "filled", Cancelled "cancelled", Expired "expired", Refused "refused");
names!(
    Reason, None "", NoPrice "no_price", Lot "lot", Tick "tick", Short "short", Leverage "leverage", Asked "asked", Ioc "ioc", Day "day",
    ReduceOnly "reduce_only"
);

/// What is asked for; prices of 0 are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub instrument: u32,
    pub side: Side,
    pub kind: Kind,
    pub size: i64,
    pub limit: i64,
    pub stop: i64,
    pub time_in_force: TimeInForce,
    pub reduce_only: bool,
}

impl Request {
    pub const fn market(instrument: u32, side: Side, size: i64) -> Self {
        Self {
            instrument,
            side,
            kind: Kind::Market,
            size,
            limit: 0,
            stop: 0,
            time_in_force: TimeInForce::Gtc,
            reduce_only: false,
        }
    }

    /// What is wrong with it whatever the account holds.
    pub(crate) fn wrong(&self) -> Option<String> {
        let kind = self.kind.name();
        let (limit, stop) = match self.kind {
            Kind::Market => (false, false),
            Kind::Limit => (true, false),
            Kind::Stop => (false, true),
            Kind::StopLimit => (true, true),
        };
        for (what, needed, price) in [("limit", limit, self.limit), ("stop", stop, self.stop)] {
            match (needed, price) {
                (true, ..=0) => return Some(format!("a {kind} order needs a {what} price above 0")),
                (false, 1.. | ..=-1) => {
                    return Some(format!("a {kind} order has no {what} price, got {price}"));
                }
                _ => {}
            }
        }
        if self.size <= 0 {
            return Some(format!("the size of an order is above 0, not {}", self.size));
        }
        if self.time_in_force == TimeInForce::Ioc && stop {
            return Some(format!(
                "a {kind} order waits for its stop price, so it cannot be ioc"
            ));
        }
        None
    }
}

/// An order as it is kept; its number is its place among all orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub request: Request,
    /// When it was sent: the end of the newest row, ns.
    pub ts: i64,
    pub state: State,
    pub reason: Reason,
    /// When it left the open ones, ns; 0 while it is open.
    pub done: i64,
    /// What of it was filled.
    pub filled: i64,
    /// Rows that end until then (ns) do not meet it: they had begun before it was decided.
    pub(crate) after: i64,
    /// Whether its stop price was reached.
    pub(crate) triggered: bool,
    /// Whether the price that it waits for was there already when it was sent, or it takes what is there or
    /// nothing; until the next open.
    pub(crate) takes: bool,
}

impl Order {
    pub(crate) const fn new(request: Request, ts: i64, after: i64) -> Self {
        Self {
            request,
            ts,
            state: State::Open,
            reason: Reason::None,
            done: 0,
            filled: 0,
            after,
            triggered: false,
            takes: false,
        }
    }

    /// Whether a row that ends at `end` may still fill it.
    #[inline]
    pub(crate) fn meets(&self, end: i64) -> bool {
        self.state == State::Open && self.after < end
    }

    /// Whether it waits for a stop price, not for a limit.
    #[inline]
    pub(crate) const fn armed(&self) -> bool {
        matches!(self.request.kind, Kind::Stop | Kind::StopLimit) && !self.triggered
    }

    /// The price at which something happens to it next.
    #[inline]
    pub(crate) const fn level(&self) -> i64 {
        if self.armed() {
            self.request.stop
        } else {
            self.request.limit
        }
    }

    /// Whether a price lies at its level or beyond it.
    #[inline]
    pub(crate) const fn reached_by(&self, price: i64) -> bool {
        if self.waits_below() {
            price <= self.level()
        } else {
            price >= self.level()
        }
    }

    /// Whether a falling price reaches its level; else a rising one does.
    #[inline]
    pub(crate) const fn waits_below(&self) -> bool {
        matches!(self.request.side, Side::Buy) != self.armed()
    }
}
