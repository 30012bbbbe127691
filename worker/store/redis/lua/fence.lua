-- Whether a call of this epoch may still be recorded: the fence against a worker whose lease is over.
--
-- A missing record means that the store lost its data, or that the job has ended. Lost, the call was made all the same,
-- so its result must not be lost too.
local function holds(record, epoch, prefix, period, job_key, id)
  if record then
    return kind_of(record) == 'S' and epoch_of(record) == epoch
  end
  return not is_done(prefix, period, job_key, id)
end
