//! The task's Envoy: its bootstrap, its command line, its admin interface.
//!
//! | file | what |
//! |---|---|
//! | `bootstrap` | edits what `consul connect envoy -bootstrap` prints (pure) |
//! | `admin` | asks Envoy whether it is ready and busy, and tells it to drain |
//! | `cli` | its arguments and version (pure) |

mod admin;
mod bootstrap;
mod cli;

pub use admin::{
    AdminClient, AdminError, Listener, ServerInfo, State, port_open, read_listeners, read_stats,
};
pub use bootstrap::{BootstrapError, Edit, TokenFile, edit, reads_token_from_file, sds_token_file};
pub use cli::{args, parse_version};
