TORCH_2_4 = True
