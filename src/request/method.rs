//! The methods of the contract, as `build.rs` reads them in `proto/`.

use crate::domain::Lane;

include!(concat!(env!("OUT_DIR"), "/method.rs"));
