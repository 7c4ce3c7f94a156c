// Sends one message as a partner and prints its answers (.NET 8, RabbitMQ.Client 7): dotnet run -- amqp://maple:password@host/ maple FILE
using System.Text;
using RabbitMQ.Client;

var factory = new ConnectionFactory { Uri = new Uri(args[0]) };
await using var connection = await factory.CreateConnectionAsync();
await using var channel = await connection.CreateChannelAsync(new CreateChannelOptions(true, true)); // confirms, awaited
var sent = Guid.NewGuid().ToString("N");
var properties = new BasicProperties { MessageId = sent, UserId = factory.UserName, DeliveryMode = DeliveryModes.Persistent };
// Throws where the broker does not take it; without its confirm nothing is certain: send the same bytes again.
await channel.BasicPublishAsync("customs.in", "in." + args[1], true, properties, await File.ReadAllBytesAsync(args[2]));
var seen = new HashSet<string>(); // at least once: keep these ids where a restart does not lose them
for (var end = DateTime.UtcNow.AddSeconds(30); DateTime.UtcNow < end; await Task.Delay(50))
{
    var answer = await channel.BasicGetAsync("out." + args[1], false);
    if (answer is null) continue;
    var about = answer.BasicProperties;
    var kind = Encoding.UTF8.GetString((byte[])about.Headers!["kind"]!);
    var mine = about.CorrelationId == sent;
    if (mine && seen.Add(about.MessageId!)) Console.WriteLine($"{kind}: {Encoding.Latin1.GetString(answer.Body.Span)}");
    await channel.BasicAckAsync(answer.DeliveryTag, false); // only now, when it is kept on your side
    if (mine && kind is not ("receipt" or "accepted" or "contrl")) return 0; // refused, or the assessment engine's word
}
Console.Error.WriteLine("no further answer within 30 seconds");
return 1;
