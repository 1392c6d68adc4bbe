//! What keys and reports do to the Train screen, one file a subject. Pure; everything asked of a run goes out as an
//! effect.

pub(crate) mod charts;
pub(crate) mod course;
pub(crate) mod feed;
pub(crate) mod fields;
pub(crate) mod live;
pub(in crate::app) mod news;
pub(crate) mod results;

pub use self::charts::TAIL;
pub use self::course::plan_holds;
pub use self::live::live_place;
pub use self::results::follows;
