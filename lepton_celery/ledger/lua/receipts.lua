-- Those of the blocks that have a receipt, as a string of decimals.
-- ARGV: stage, blocks
local stage, blocks = ARGV[1], numbers(ARGV[2])
if not is_open(stage) then
    return ''
end
local is_received, found = received(blocks), {}
for _, block in ipairs(blocks) do
    if is_received(block) then
        found[#found + 1] = block
    end
end
return table.concat(found, ' ')
