-- Exact totals on one line: requests, bytes, microseconds, failures.
done = function(summary)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  print(string.format("totals %d %d %d %d", summary.requests, summary.bytes, summary.duration, failed))
end
