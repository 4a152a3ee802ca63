//! What taskmesh relies on at a Consul agent and its servers, held against each Consul that it meets: the same test
//! code for Debian's 1.8.7, for the stand-in of the development mesh (so that the stand-in is not what it was wished to
//! be) and for the user's own current one (`CONSUL_BIN`).
//!
//! A test starts an agent with the configuration that taskmesh writes for a task, in a network namespace of its own,
//! joined to a server on the hub, and drives it with taskmesh's own client.
//!
//! | file | what |
//! |---|---|
//! | `backend` | which Consul, and in what it differs |
//! | `bench` | the server, the task, its agent |
//! | `registration` | registering, reading back, registering again, deregistering |
//! | `health` | TTL checks, how an instance is offered and withdrawn |
//! | `health_sync` | taskmesh's own actor: what it writes, that it does not without a reason, and what its end does |
//! | `node` | joining, leaving, coming back |
//! | `rights` | which token may do what |
//! | `tls` | certificates of one's own; on real Consuls |
//! | `sockets` | HTTP and gRPC on unix sockets; on real Consuls |
//! | `secured` | the whole supervisor, with TLS, a gossip key and ACLs at once |

mod backend;
mod bench;
mod health;
mod health_sync;
mod node;
mod registration;
mod rights;
mod secured;
mod sockets;
mod tls;

/// The contract on one Consul. The server that a test needs is said here: one for all of them, or one of its own that
/// the test starts when it wants to.
macro_rules! contract {
    ($module:ident, $backend:expr) => {
        mod $module {
            use crate::backend::Backend;
            use crate::bench::{alone, shared};
            use crate::{health, health_sync, node, registration, rights, secured};

            const BACKEND: Backend = $backend;

            #[tokio::test]
            async fn registration_works_before_the_join_and_reaches_the_servers_after_it() {
                alone(BACKEND, "join", registration::before_the_join).await;
            }

            #[tokio::test]
            async fn registration_of_service_and_proxy_is_read_back() {
                shared(BACKEND, "read", registration::read_back).await;
            }

            #[tokio::test]
            async fn registration_again_keeps_status_and_maintenance_unless_told_otherwise() {
                shared(BACKEND, "again", registration::again).await;
            }

            #[tokio::test]
            async fn registration_with_an_unknown_field_is_refused() {
                shared(BACKEND, "unknown", registration::unknown_field).await;
            }

            #[tokio::test]
            async fn registration_is_shown_as_it_was_written_whatever_it_holds() {
                alone(BACKEND, "shown", registration::shown_as_registered).await;
            }

            #[tokio::test]
            async fn registration_that_changes_or_goes_wakes_who_waits() {
                shared(BACKEND, "wakes", registration::change_wakes).await;
            }

            #[tokio::test]
            async fn registration_ends_with_deregistration() {
                shared(BACKEND, "ends", registration::ends).await;
            }

            #[tokio::test]
            async fn ttl_check_starts_critical_passes_and_expires() {
                shared(BACKEND, "ttl", health::ttl_check).await;
            }

            #[tokio::test]
            async fn health_sync_is_quiet_for_a_minute_and_its_end_turns_checks_critical() {
                shared(BACKEND, "sync", health_sync::quiet_and_safe).await;
            }

            #[tokio::test]
            async fn listener_check_that_starts_passing_offers_the_proxy_at_once() {
                shared(BACKEND, "offered", health::offered_at_once).await;
            }

            #[tokio::test]
            async fn maintenance_wakes_a_blocked_query_and_shows_critical() {
                shared(BACKEND, "maint", health::maintenance_wakes).await;
            }

            #[tokio::test]
            async fn leave_takes_the_node_out_of_the_catalog() {
                alone(BACKEND, "leave", node::leaves).await;
            }

            #[tokio::test]
            async fn node_comes_back_with_its_id_and_with_no_other() {
                shared(BACKEND, "back", node::comes_back).await;
            }

            #[tokio::test]
            async fn tokens_may_do_what_the_table_says() {
                alone(BACKEND, "acl", rights::table).await;
            }

            #[tokio::test]
            async fn secured_task_joins_registers_syncs_comes_back_and_leaves() {
                secured::life(BACKEND).await;
            }

            #[tokio::test]
            async fn secured_mesh_lets_no_stranger_in() {
                secured::strangers(BACKEND).await;
            }

            #[tokio::test]
            async fn secured_task_waits_for_its_token() {
                secured::late_token(BACKEND).await;
            }
        }
    };
}

contract!(on_187, Backend::V187);
contract!(on_the_stand_in, Backend::StandIn);
contract!(on_consul_bin, Backend::Given);
