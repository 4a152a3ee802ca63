//! The text of an agent's configuration as users write it (`consul.extraConfig`): HCL or JSON, with variables.
//!
//! Not a parser: Consul judges the text. Here is only what must be known of it before: which variables it names, which
//! keys it sets, and what in it must not be printed.
//!
//! | file | what |
//! |---|---|
//! | `variables` | `$NAME` and `${NAME}`, and what only a shell would expand |
//! | `scan` | keys and values, of HCL and JSON alike |
//! | `hide` | which values are secrets, by their keys |

mod hide;
mod scan;
mod variables;

pub(crate) use hide::{hide_in_text, hide_in_value};
pub(crate) use scan::keys;
pub(crate) use variables::{Piece, pieces};
