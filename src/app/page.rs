//! The verification page's routes, with their signer.

use std::sync::Arc;

use axum::Router;

use crate::clock::Clock;
use crate::layer::guard::Guard;
use crate::secret::SystemEntropy;
use crate::store::Store;
use crate::surface::page::{KeyError, Parts, Signer, capabilities, keys};
use crate::verification::service::Verifications;

/// The page, and the public keys of its results.
///
/// # Errors
/// [`KeyError`].
pub(super) fn page(
    store: &dyn Store,
    verifications: &Arc<Verifications>,
    clock: &Arc<dyn Clock>,
    guard: &Guard,
    base_url: &str,
) -> Result<Router, KeyError> {
    let signer = Arc::new(Signer::new(&store.keyring(), base_url.to_owned())?);
    let published = keys(&signer);
    let parts = Parts::new(
        Arc::clone(verifications),
        signer,
        guard.clone(),
        Arc::clone(clock),
        Arc::new(SystemEntropy),
        store.keyring(),
        base_url,
    );
    Ok(capabilities(Arc::new(parts)).merge(published))
}
