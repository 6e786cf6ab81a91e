"""The kernel lab: kernels, and the machines that boot them."""
