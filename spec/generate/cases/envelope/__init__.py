"""Envelopes and parcels before they are opened."""
