"""The queues: the port that the service sees, RabbitMQ, and the embedded queue."""
