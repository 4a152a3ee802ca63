//! The ground of Consul Enterprise, looked at in each round and made where it is missing.

use super::Controller;
use crate::acl::apply::Failure;
use crate::acl::ground::Part;
use crate::acl::hands::words;
use crate::acl::names::{CROSS_NAMESPACE_POLICY, Service};

impl Controller {
    /// The partition, without which nothing can be listed. False: it is not there, and must not be made.
    ///
    /// # Errors
    /// Why it cannot be looked at or made.
    pub(super) async fn has_partition(&self) -> Result<bool, String> {
        let Some(partition) = &self.site.partition else { return Ok(true) };
        if self.state.borrow().ground.partition {
            return Ok(true);
        }
        let there = self.hands.consul.has_partition(partition).await;
        let there = there.map_err(|e| format!("Consul: {}", words(&e)))?;
        self.state.borrow_mut().ground.partition = there;
        if !there {
            self.lay(Part::Partition, partition).await.map_err(|e| e.0)?;
        }
        Ok(there || !self.dry_run)
    }

    /// The policy that all tokens share, after the lists; and which namespaces there are.
    ///
    /// # Errors
    /// Why they cannot be looked at or made.
    pub(super) async fn commons(&self, partition_is_there: bool) -> Result<(), String> {
        let Some(partition) = &self.site.partition else { return Ok(()) };
        if partition_is_there {
            let found = self.hands.consul.namespaces().await;
            let mut state = self.state.borrow_mut();
            state.ground.namespaces = found.map_err(|e| format!("Consul: {}", words(&e)))?;
            state.ground.policy = state.inventory.hash(CROSS_NAMESPACE_POLICY).is_some();
        }
        let part = self.state.borrow().ground.next(None);
        match part {
            Some(part) => self.lay(part, partition).await.map_err(|e| e.0),
            None => Ok(()),
        }
    }

    /// The namespace of a service.
    ///
    /// # Errors
    /// Why it cannot be made.
    pub(super) async fn namespace(&self, service: &Service) -> Result<(), Failure> {
        let Some(at) = &service.tenancy else { return Ok(()) };
        loop {
            let part = self.state.borrow().ground.next(Some(&at.namespace));
            match part {
                Some(part) => self.lay(part, &at.partition).await?,
                None => return Ok(()),
            }
        }
    }

    async fn lay(&self, part: Part, partition: &str) -> Result<(), Failure> {
        let words = part.words(partition);
        if !self.dry_run {
            self.hands.lay(&part, partition).await?;
            tracing::info!(service = "all", "{words}");
        }
        let mut state = self.state.borrow_mut();
        *state.writes.entry(part.name()).or_default() += 1;
        state.ground.after(&part);
        if self.dry_run {
            state.laid.push(("all services".to_owned(), words));
        }
        Ok(())
    }
}
