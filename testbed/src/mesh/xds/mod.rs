//! The control plane of Envoy: delta ADS v3, as Consul serves it (state of the world is refused).
//!
//! `view` turns the catalog into one proxy's resources 200 ms after a change, `stream` brings
//! them to one Envoy; `clusters`, `listeners` and `rbac` shape them.

mod clusters;
mod listeners;
mod rbac;
mod stream;
mod tls;
mod view;

use std::pin::Pin;
use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};

use super::agent::Agent;
use view::Views;

/// Resource types in the order in which Consul updates them.
pub(crate) const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
/// Endpoints of clusters.
pub(crate) const ENDPOINT: &str =
    "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
/// Listeners.
pub(crate) const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
/// Route tables.
pub(crate) const ROUTE: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";

struct Ads {
    agent: Arc<Agent>,
    views: Arc<Views>,
}

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Ads {
    type StreamAggregatedResourcesStream = Out<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Out<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("not implemented"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let metadata = request.metadata();
        let token = metadata.get("x-consul-token").and_then(|v| v.to_str().ok());
        let token = token.unwrap_or_default().to_owned();
        if self.agent.authz(&token).is_none() {
            return Err(Status::unauthenticated("unauthenticated: ACL not found"));
        }
        let (sender, responses) = mpsc::channel(8);
        let (agent, views) = (self.agent.clone(), self.views.clone());
        tokio::spawn(async move {
            let end = stream::run(&agent, &views, &token, request.into_inner(), &sender).await;
            if let Err(status) = end {
                tracing::warn!(%status, "xDS stream ended by us");
                // Envoy may be gone already.
                drop(sender.send(Err(status)).await);
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(responses))))
    }
}

/// Serves xDS until the process ends.
pub(crate) async fn serve<C>(agent: Arc<Agent>, incoming: impl Stream<Item = std::io::Result<C>>)
where
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let views = Views::start(agent.clone());
    let ads = AggregatedDiscoveryServiceServer::new(Ads { agent, views });
    let served =
        tonic::transport::Server::builder().add_service(ads).serve_with_incoming(incoming).await;
    if let Err(error) = served {
        tracing::error!(%error, "the xDS listener failed");
    }
}
