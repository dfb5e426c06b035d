# frozen_string_literal: true

# The tasks of the benchmarks on Sidekiq, and its sending side; the commands are those of bench.mjs.

require "json"
require "sidekiq"
require "sidekiq/api"

PROCESSES = 2
CONCURRENCY = 10
BULK = 1000
WARM_UP = 50
PATIENCE = 20
FOLDER = ENV.fetch("CELERIAC_BENCH_DIR")

Sidekiq.configure_client { |config| config.redis = { url: ENV.fetch("CELERIAC_BENCH_BROKER") } }
Sidekiq.configure_server { |config| config.redis = { url: ENV.fetch("CELERIAC_BENCH_BROKER") } }

def now
  Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)
end

# Notes that tasks ran; what was counted is written down by a thread, with the times at which the tasks ran.
module Tally
  LOCK = Mutex.new
  @count = @first = @last = @written = 0

  def self.hit
    LOCK.synchronize do
      @last = now
      @first = @last if @count.zero?
      @count += 1
    end
  end

  def self.stamp(sent)
    ran = now
    LOCK.synchronize do
      @stamps ||= File.open(File.join(FOLDER, "stamps-#{Process.pid}"), "ab").tap { |file| file.sync = true }
      @stamps.write([sent, ran].pack("QQ"))
    end
  end

  def self.write
    LOCK.synchronize do
      next if @count == @written

      @counts ||= File.open(File.join(FOLDER, "counts-#{Process.pid}"), "wb").tap { |file| file.sync = true }
      @counts.pwrite([@count, @first, @last].pack("QQQ"), 0)
      @written = @count
    end
  end

  def self.start
    Thread.new do
      loop do
        sleep 0.01
        write
      end
    end
  end
end

class Noop
  include Sidekiq::Worker
  sidekiq_options retry: false

  def perform
    Tally.hit
  end
end

class Stamp
  include Sidekiq::Worker
  sidekiq_options retry: false

  def perform(sent = 0)
    Tally.stamp(sent)
  end
end

def kind(task)
  task == "stamp" ? Stamp : Noop
end

def send_many(task, count)
  Sidekiq::Client.push_bulk("class" => kind(task), "args" => Array.new(count) { [] })
end

def stamps(since)
  Dir.glob(File.join(FOLDER, "stamps-*")).flat_map do |path|
    File.binread(path).unpack("Q*").each_slice(2).select { |sent, ran| ran && sent >= since }
  end
end

def wait_for(count, since)
  deadline = now + PATIENCE * 1_000_000_000
  until (found = stamps(since)).size >= count
    raise "only #{found.size} of #{count} tasks had run" if now > deadline

    sleep 0.02
  end
  found
end

# Does something for so long; returns how many a second.
def rate(seconds, each)
  began = now
  done = 0
  while now - began < seconds.to_f * 1e9
    yield
    done += each
  end
  done * 1e9 / (now - began)
end

def latency(samples)
  Stamp.perform_async(now)
  wait_for(1, 0)
  sleep 0.5
  first = now
  samples.times do
    Stamp.perform_async(now)
    sleep 0.2 + 0.1 * rand
  end
  wait_for(samples, first).map { |sent, ran| (ran - sent) / 1e6 }
end

def produce(command, words)
  case command
  when "preload"
    left = words[1].to_i
    while left.positive?
      send_many(words[0], [BULK, left].min)
      left -= BULK
    end
    ""
  when "single"
    WARM_UP.times { kind(words[0]).perform_async }
    rate(words[1], 1) { kind(words[0]).perform_async }
  when "bulk"
    send_many(words[0], WARM_UP)
    rate(words[1], BULK) { send_many(words[0], BULK) }
  when "latency"
    latency(words[0].to_i)
  when "check"
    busy = Sidekiq::ProcessSet.new.sum { |process| process["busy"] }
    { left: Sidekiq::Queue.new.size + busy, state: nil }
  end
end

def workers
  arguments = ["--concurrency", CONCURRENCY.to_s, "--environment", "production", "--require", File.expand_path(__FILE__)]
  # Without -W0 a warning of the Redis client, for each look into a queue, would be what is measured.
  pids = Array.new(PROCESSES) { spawn({ "RUBYOPT" => "-W0" }, "sidekiq", *arguments) }
  %w[TERM INT].each { |name| trap(name) { pids.each { |pid| Process.kill("TERM", pid) } } }
  pids.each { |pid| Process.wait(pid) }
end

if Sidekiq.server?
  Sidekiq.logger.level = Logger::WARN
  Tally.start
  Sidekiq.configure_server { |config| config.on(:shutdown) { Tally.write } }
elsif ARGV[0] == "worker"
  workers
else
  puts JSON.generate(produce(ARGV[0], ARGV[1..]))
end
