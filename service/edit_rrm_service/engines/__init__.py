"""The engines that run a judge: one Protocol, three ways."""
