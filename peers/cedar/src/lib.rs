//! Benches of Ringfence's policy engine beside Cedar; see `benches/`.
