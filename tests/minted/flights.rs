//! tbd tbd tbd tbd
